# %% 5a
# The loss is the same function of W/‖W‖. Twice as long a W needs twice as long a step for the same.
factor = 0.5

# %% 5b
# Whatever b is, the mean takes it out again: the loss does not depend on it.
exact_db = 0.0


# %% 5c
def setting3(g, w, kappa, m, d):
    kappa = -np.sign(g) + m * kappa - d * w
    return np.sign(kappa), kappa


# %% 5d
# 1 + 0.9 + 0.81 + … = 1/(1 − 0.9).
longest_step = 10.0

# %% 5e
# dW ⟂ W, so ‖W − η dW‖² = ‖W‖² + ‖η dW‖².
can_become = "longer"
