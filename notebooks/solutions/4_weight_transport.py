# %% 4a
# RndF needs neither.
need_magnitudes = ["BP"]
need_signs = ["BP", "uSF", "NuSF", "frSF", "brSF"]

# %% 4b
p = 0.5

# %% 4c
# Half of 200 are left: √100.
factor = 10

# %% 4d
# dW = Xᵀ dN, and dN comes from the loss: there is no V in between.
angle_of_fc4 = 0.0


# %% 4e
class MyRule(FeedbackRule):
    """V = W rounded to multiples of 0.1."""

    def V(self, W):
        return (W * 10).round() / 10


my_rate = 0.1
