"""Every data set's original files in small, in the exact original layout."""

import dataclasses
import gzip
import hashlib
import io
import struct
import tarfile
import zipfile

import numpy as np
import scipy.io
from minibp_datasets import (
    caltech101,
    caltech256,
    cifar10,
    cifar100,
    faces,
    flowers17,
    flowers102,
    icubworld,
    indoor67,
    lfw,
    mnist,
    pubfig83,
    stl10,
    sufrw,
    svhn,
    timit80,
)
from PIL import Image

MODULES = {
    module.ABOUT.name: module
    for module in (
        *(mnist, cifar10, cifar100, svhn, stl10, caltech101, caltech256, icubworld, flowers17),
        *(flowers102, pubfig83, sufrw, lfw, indoor67, timit80),
    )
}


def rng():
    return np.random.default_rng(0)


def image(value, size=(20, 16), format="JPEG", mode="RGB"):
    """Return an image file's content: of one colour, which says which image it is."""
    picture = Image.new("RGB", size, (value % 256, value // 256 * 40 % 256, 128)).convert(mode)
    file = io.BytesIO()
    picture.save(file, format=format)
    return file.getvalue()


def tar(path, files, mode="w:gz"):
    """Write a tar of {name: content}, with folders."""
    with tarfile.open(path, mode) as archive:
        for folder in sorted({name.rpartition("/")[0] for name in files} - {""}):
            info = tarfile.TarInfo(folder)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def idx(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype("uint8").tobytes()


def make_mnist(folder, patch):
    for name in mnist.FILES:
        n = 30 if name.startswith("train") else 20
        array = rng().integers(0, 256, (n, 28, 28)) if "images" in name else np.arange(n) % 10
        content = idx(array)
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return 30, 20


def records(labels, label_bytes=1):
    """Return CIFAR's records: labels, then planes of red, green and blue."""
    images = rng().integers(0, 256, (len(labels), 3072))
    columns = [np.zeros((len(labels), label_bytes - 1)), np.reshape(labels, (-1, 1)), images]
    return np.concatenate(columns, axis=1).astype("uint8").tobytes()


def make_cifar10(folder, patch):
    files = {f"cifar-10-batches-bin/data_batch_{k}.bin": records(range(10)) for k in range(1, 6)}
    files |= {
        "cifar-10-batches-bin/batches.meta.txt": "\n".join(cifar10.CLASSES).encode(),
        "cifar-10-batches-bin/readme.html": b"<html>",
        "cifar-10-batches-bin/test_batch.bin": records(range(10)),
    }
    tar(folder / "cifar-10-binary.tar.gz", files)
    return 50, 10


def make_cifar100(folder, patch):
    files = {
        "cifar-100-binary/coarse_label_names.txt": b"coarse\n" * 20,
        "cifar-100-binary/fine_label_names.txt": b"".join(b"class_%d\n" % k for k in range(100)),
        "cifar-100-binary/train.bin": records(range(100), 2),
        "cifar-100-binary/test.bin": records(range(50), 2),
    }
    tar(folder / "cifar-100-binary.tar.gz", files)
    return 100, 50


def make_svhn(folder, patch):
    for name, n in (("train", 20), ("test", 10)):
        X = rng().integers(0, 256, (32, 32, 3, n)).astype("uint8")
        y = (np.arange(n) % 10 + 1).reshape(-1, 1).astype("uint8")
        path = folder / f"{name}_32x32.mat"
        scipy.io.savemat(path, {"X": X, "y": y}, do_compression=True)
    return 20, 10


def make_stl10(folder, patch):
    files = {}
    for part, n in (("train", 10), ("test", 20)):
        files[f"stl10_binary/{part}_X.bin"] = rng().bytes(n * 3 * 96 * 96)
        files[f"stl10_binary/{part}_y.bin"] = bytes(k % 10 + 1 for k in range(n))
    files["stl10_binary/unlabeled_X.bin"] = b"\0" * 27648
    tar(folder / "stl10_binary.tar.gz", files)
    return 10, 20


def class_images(prefix, classes, each, start=0):
    """Return image files in class folders, {name: content}: red says the class, green which one."""
    return {
        f"{prefix}{name}/image_{k + 1:04d}.jpg": image(start + label + 256 * k)
        for label, name in enumerate(classes)
        for k in range(each)
    }


def make_caltech101(folder, patch):
    patch.setattr(caltech101, "TRAIN", 3)
    patch.setattr(caltech101, "TEST", 2)
    classes = ["BACKGROUND_Google", *(f"class_{k:03d}" for k in range(101))]
    files = class_images("101_ObjectCategories/", classes, 5)
    del files["101_ObjectCategories/class_007/image_0005.jpg"]  # one class has fewer
    files["101_ObjectCategories/._class_007"] = b"a Mac was here"
    inner = io.BytesIO()
    tar_into(inner, files)
    with zipfile.ZipFile(folder / "caltech-101.zip", "w") as archive:
        archive.writestr("caltech-101/101_ObjectCategories.tar.gz", inner.getvalue())
        archive.writestr("caltech-101/Annotations.tar", b"not looked at")
        archive.writestr("__MACOSX/caltech-101/._x", b"a Mac was here")
    return 306, 203


def tar_into(file, files):
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def make_caltech256(folder, patch):
    patch.setattr(caltech256, "TRAIN", 2)
    patch.setattr(caltech256, "TEST", 1)
    classes = [f"{k + 1:03d}.thing-{k}" for k in range(110)] + ["257.clutter"]
    files = class_images("256_ObjectCategories/", classes, 4)
    files["256_ObjectCategories/001.thing-0/RENAME2"] = b"as in the original"
    tar(folder / "256_ObjectCategories.tar", files, "w")
    return 204, 102


def make_icubworld(folder, patch):
    classes = [f"class{k}" for k in range(10)]
    files = {
        **{f"iCubWorld/train/{c}/{c}{i}/{k:08d}.ppm": image(k, format="PPM")
           for c in classes for i in (1, 2, 3) for k in range(2)},
        **{f"iCubWorld/test/categorization/{c}/{k:08d}.ppm": image(k, format="PPM")
           for c in classes for k in range(2)},
        **{f"iCubWorld/test/background/{c}/{k:08d}.ppm": image(k, format="PPM")
           for c in classes for k in range(3)},
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return 60, 20


def make_flowers17(folder, patch):
    patch.setattr(flowers17, "EACH", 4)
    tar(
        folder / "17flowers.tgz",
        {f"jpg/image_{k:04d}.jpg": image(k) for k in range(1, 69)} | {"jpg/files.txt": b"list"},
    )
    ids = np.arange(1, 69).reshape(17, 4)
    parts = {"trn1": ids[:, :2], "val1": ids[:, 2:3], "tst1": ids[:, 3:]}
    scipy.io.savemat(
        folder / "datasplits.mat",
        {name: part.reshape(1, -1).astype("float64") for name, part in parts.items()},
    )
    return 34, 17


def make_flowers102(folder, patch):
    tar(
        folder / "102flowers.tgz",
        {f"jpg/image_{k:05d}.jpg": image(k) for k in range(1, 307)},
    )
    labels = (np.arange(306) // 3 + 1).astype("uint8").reshape(1, -1)
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": labels}, do_compression=True)
    ids = np.arange(1, 307).reshape(102, 3).astype("uint16")
    parts = {"trnid": ids[:, :1], "valid": ids[:, 1:2], "tstid": ids[:, 2:]}
    scipy.io.savemat(
        folder / "setid.mat",
        {name: part.reshape(1, -1) for name, part in parts.items()},
        do_compression=True,
    )
    return 102, 102


def few_faces(patch, module):
    patch.setattr(faces, "IDENTITIES", 4)
    patch.setattr(module, "TRAIN", 3)
    patch.setattr(module, "TEST", 2)
    return 12, 8


def make_pubfig83(folder, patch):
    people = ["Ann Example", "Bob Example", "Cy Sample", "Di Sample", "Ed Sample"]
    tar(folder / "pubfig83.v1.tgz", class_images("pubfig83/", people, 6))
    return few_faces(patch, pubfig83)


def make_sufrw(folder, patch):
    root = folder / "SUFR_in_the_wild"
    root.mkdir()
    lines = []
    for k in range(30):
        (root / f"{k + 1}.jpg").write_bytes(image(k))
        lines.append(f"{k % 5 + 1} # Person {'ABCDE'[k % 5]}\n")
    (root / "SUFR_in_the_wild_info.txt").write_text("".join(lines))
    return few_faces(patch, sufrw)


def make_lfw(folder, patch):
    files = {
        f"lfw/Person_{p}/Person_{p}_{k + 1:04d}.jpg": image(10 * p + k, (250, 250))
        for p in range(6)
        for k in range(5 if p else 4)  # one has too few
    }
    tar(folder / "lfw.tgz", files)
    return few_faces(patch, lfw)


def make_indoor67(folder, patch):
    classes = [f"room_{k:02d}" for k in range(67)]
    files = class_images("Images/", classes, 3)
    name = "Images/room_05/image_0001.jpg"  # in the original, some are not what they say
    files[name] = image(7, format="GIF", mode="P")
    tar(folder / "indoorCVPR_09.tar", files, "w")
    for title, numbers in (("TrainImages", (1, 2)), ("TestImages", (3,))):
        lines = [f"{c}/image_{k:04d}.jpg" for c in classes for k in numbers]
        (folder / f"{title}.txt").write_text("\n".join(lines))
    return 134, 67


def sphere_file(samples, **changes):
    """Return a NIST SPHERE file."""
    fields = {
        "sample_count": f"-i {len(samples)}",
        "sample_n_bytes": "-i 2",
        "channel_count": "-i 1",
        "sample_byte_format": "-s2 01",
        "sample_rate": "-i 16000",
        "sample_coding": "-s3 pcm",
    } | {name: value for name, value in changes.items()}
    lines = [f"{name} {value}" for name, value in fields.items() if value is not None]
    head = "NIST_1A\n   1024\n" + "\n".join(lines) + "\nend_head\n"
    return head.encode().ljust(1024, b"\0") + np.asarray(samples, "<i2").tobytes()


def make_timit(folder, patch):
    patch.setattr(timit80, "CLASSES", 5)
    patch.setattr(timit80, "TRAIN", 6)
    patch.setattr(timit80, "TEST", 3)
    phones = ["h#", "aa", "s", "iy"]
    for part, speakers in (("TRAIN", 3), ("TEST", 2)):
        for s in range(speakers):
            place = folder / "TIMIT" / part / "DR1" / f"FABC{s}"
            place.mkdir(parents=True)
            for sentence in ("SA1", "SX10", "SI20"):
                samples = (1000 * rng().standard_normal(16000)).astype("int16")
                (place / f"{sentence}.WAV").write_bytes(sphere_file(samples))
                rows = [f"{4000 * k} {4000 * (k + 1)} {p}\n" for k, p in enumerate(phones)]
                (place / f"{sentence}.PHN").write_text("".join(rows))
                (place / f"{sentence}.TXT").write_text("0 16000 She had.\n")
    return 30, 15


MAKERS = {
    "mnist": make_mnist,
    "cifar10": make_cifar10,
    "cifar100": make_cifar100,
    "svhn": make_svhn,
    "stl10": make_stl10,
    "caltech101": make_caltech101,
    "caltech256-101": make_caltech256,
    "icubworld": make_icubworld,
    "flowers17": make_flowers17,
    "flowers102": make_flowers102,
    "pubfig83-id": make_pubfig83,
    "sufrw-id": make_sufrw,
    "lfw-id": make_lfw,
    "indoor67": make_indoor67,
    "timit80": make_timit,
}


def make(name, folder, patch, mirror=None):
    """Write a data set's miniature, and make its module take it for the original. Return the
    number of training and of test samples."""
    sizes = MAKERS[name](folder, patch)
    module = MODULES[name]
    files = []
    for file in module.ABOUT.files:
        path = folder / file.name
        checksum, contents = file.checksum, file.contents
        if checksum:
            checksum = f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}"
        if contents:
            content = gzip.decompress(path.read_bytes())
            contents = f"sha256:{hashlib.sha256(content).hexdigest()}"
        mirrors = (mirror,) if mirror and file.mirrors else file.mirrors
        files.append(
            dataclasses.replace(file, checksum=checksum, contents=contents, mirrors=mirrors)
        )
    about = dataclasses.replace(module.ABOUT, files=tuple(files), train=sizes[0], test=sizes[1])
    patch.setattr(module, "ABOUT", about)
    return sizes
