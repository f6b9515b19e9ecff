# %% 6a
head = "frSF-50+BN+BM2"

# %% 6b
# The last layer's dW comes straight from the loss, and what V hands down is used by nobody.
feedback_weights_used = 0


# %% 6c
class Worse(FeedbackRule):
    """V = −W: every step goes uphill."""

    def V(self, W):
        return -W
