"""Images to columns, and to phases, by long copies: for first layers and strided ones."""

from minibp.ops.cpu.jit import kernel


@kernel
def columns(X, a, e, kh, kw, stride, top, left, OH, P, out):
    """out[(i, j, c), (image, y, x)] = X[image, y·stride + i − top, x·stride + j − left, c].

    X (B, H, W, C), images a … e; P (C, rows, stride, width) is scratch, zero where the image is
    padded, in which the pixels of a copied run are neighbours; out (kh·kw·C, (e − a)·OH·width).
    x runs over the whole width, so that with a stride of 1 one run is a whole image; the last few
    positions of each row are no outputs, and hold whatever was near.
    """
    H, W, C = X.shape[1], X.shape[2], X.shape[3]
    width = P.shape[3]
    plane = P.shape[1] * stride * width
    flat, size = P.reshape(-1), OH * width
    for image in range(a, e):
        for y in range(min(H, P.shape[1] - top)):
            for c in range(C):
                to, row = P[c, y + top], X[image, y]
                for x in range(W):
                    to[(x + left) % stride, (x + left) // stride] = row[x, c]
        for k in range(out.shape[0]):
            i, j, c = k // (kw * C), k // C % kw, k % C
            start = c * plane + (i * stride + j % stride) * width + j // stride
            line = out[k, (image - a) * size : (image - a + 1) * size]
            if stride == 1:
                run = flat[start : min(start + size, flat.size)]
                for x in range(run.size):
                    line[x] = run[x]
                line[run.size :] = 0
            else:
                for y in range(OH):
                    run = flat[start : min(start + width, flat.size)]
                    to = line[y * width : y * width + run.size]
                    for x in range(run.size):
                        to[x] = run[x]
                    line[y * width + run.size : (y + 1) * width] = 0
                    start += stride * stride * width


@kernel
def narrow(wide, b, N):
    """N (n, OH, OW, J) = wide (n, OH, width, J) without the last few positions of each row, + b."""
    J = b.size
    for image in range(N.shape[0]):
        for y in range(N.shape[1]):
            for x in range(N.shape[2]):
                to, value = N[image, y, x], wide[image, y, x]
                for j in range(J):
                    to[j] = value[j] + b[j]


@kernel
def widen(dN, wide):
    """wide (n, OH, width, J) = dN (n, OH, OW, J), and zero beyond."""
    for image in range(dN.shape[0]):
        for y in range(dN.shape[1]):
            value, to = dN[image, y].reshape(-1), wide[image, y].reshape(-1)
            for i in range(value.size):
                to[i] = value[i]
            to[value.size :] = 0


@kernel
def phases(X, a, e, s, top, left, out):
    """out[image, y, x, (i, j, c)] = X[image, s·y + i − top, s·x + j − left, c], zero outside.

    X (B, H, W, C), images a … e; out (e − a, rows, columns, s·s·C).
    """
    H, W, C = X.shape[1], X.shape[2], X.shape[3]
    for image in range(a, e):
        for y in range(out.shape[1]):
            for i in range(s):
                row = s * y + i - top
                for x in range(out.shape[2]):
                    for j in range(s):
                        column, at = s * x + j - left, (i * s + j) * C
                        to = out[image - a, y, x, at : at + C]
                        if 0 <= row < H and 0 <= column < W:
                            pixel = X[image, row, column]
                            for c in range(C):
                                to[c] = pixel[c]
                        else:
                            to[:] = 0
