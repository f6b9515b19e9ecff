"""Print what has to be installed for the checks on a GPU: names of packages, on one line."""

import importlib.util

# By the name that is imported; what only a laptop needs (a browser, notebooks) is not among them.
PACKAGES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "numba": "numba",
    "h5py": "h5py",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "matplotlib": "matplotlib",
    "threadpoolctl": "threadpoolctl",
    "tqdm": "tqdm",
    "requests": "requests",
    "pooch": "pooch",
    "pytest": "pytest",
    "hypothesis": "hypothesis",
    "cupy": "cupy",
}


def main() -> None:
    print(*(package for name, package in PACKAGES.items() if not importlib.util.find_spec(name)))


if __name__ == "__main__":
    main()
