# %% 1a
# N = 0.5·1 − 0.25·3 = −0.25 is negative, so f′(N) = 0, and nothing comes through: it is off.
dW21 = 0.0


# %% 1b
# (log u)′ = u′/u with u = 1 + e^N. This is the logistic function, e^N / (1 + e^N).
def soft_prime(N):
    return np.exp(N) / (1 + np.exp(N))


# %% 1c
def eq2(V, slope, dY):
    return [V_i * slope * dY for V_i in V]


# %% 1d
# dw = x · f′(N) · v · dz contains v; du = y · dz does not.
moves = "u"
dw_always = 0.0
