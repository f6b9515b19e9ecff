"""The network for MNIST of Akrout et al. (2019): 784-500-10, with sigmoid units."""


def mlp(net, classes):
    fan_in, hidden = 784, 500
    net.fc(hidden, activation="sigmoid", init=(fan_in + hidden) ** -0.5)
    net.output(classes, init=(hidden + classes) ** -0.5)
