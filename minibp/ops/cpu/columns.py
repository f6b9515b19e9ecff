"""Images to columns by long copies, for first layers and strided ones."""

from minibp.ops.cpu.jit import kernel


@kernel
def columns(X, a, e, kh, kw, stride, top, left, OH, OW, P, out):
    """out[(i, j, c), (image, y, x)] = X[image, y·stride + i − top, x·stride + j − left, c].

    X (B, H, W, C), images a … e; P (C, rows, stride, width) is scratch, zero where the image is
    padded, in which the pixels of a copied run are neighbours; out (kh·kw·C, (e − a)·OH·OW).
    """
    H, W, C = X.shape[1], X.shape[2], X.shape[3]
    for image in range(a, e):
        for y in range(min(H, P.shape[1] - top)):
            for c in range(C):
                plane, row = P[c, y + top], X[image, y]
                for x in range(W):
                    plane[(x + left) % stride, (x + left) // stride] = row[x, c]
        at = (image - a) * OH * OW
        for i in range(kh):
            for j in range(kw):
                for c in range(C):
                    line = out[(i * kw + j) * C + c]
                    for y in range(OH):
                        run = P[c, y * stride + i, j % stride]
                        first = j // stride
                        to = line[at + y * OW : at + y * OW + OW]
                        for x in range(OW):
                            to[x] = run[first + x]
