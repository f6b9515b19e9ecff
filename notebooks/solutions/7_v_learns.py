# %% 7a
steps = 90  # 0.95 ** 89 is 0.0104, 0.95 ** 90 is 0.0099


# %% 7b
def kolen_pollack(V, dW, eta, d):
    return V - eta * dW - eta * d * V


# %% 7c
times = 100

# %% 7d
shape_for_50 = (50, 10)
shape_for_100 = (100, 10)


# %% 7e
class Trickle(FeedbackRule):
    """V ← 0.9 V + 0.1 sign(W): it reads W's signs at each update."""

    def draw(self, shape, rng):
        return {"R": rng.normal(shape, 0.05)}

    def V(self, W, R):
        return R

    def after(self, here):
        return 0.9 * here.V + 0.1 * np.sign(here.W)


transports = "W"
