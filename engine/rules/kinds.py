"""What an op is, in the field's terms: one kind beside each rule, from which all tables of ops are derived.

A kind is named at `defvjp`; `registry.ops_of` gives the ops of some kinds, and `registry.KINDS` the kind of an op.
"""

# Linear maps with weights, and products of values.
CONVOLUTION = "convolution"  # a kernel that slides over pixels, or its adjoint
DENSE = "dense"  # a linear layer: one matrix of weights
MATMUL = "matmul"  # a sum of products of two values, which may both depend on the image
ATTENTION = "attention"  # softmax(Q K^T s) V in one call
SUM = "sum"  # sums and differences, element by element
PRODUCT = "product"  # products and quotients, element by element

# What bends. Gates act on the first two; the others keep their derivative under every gate.
RECTIFIER = "rectifier"  # an activation that is flat outside of its ends, and passes between them
SMOOTH = "smooth"  # an activation with a slope below zero too
SQUASH = "squash"  # between two ends: a weight for other values
SOFTMAX = "softmax"  # weights that sum to one along an axis, or their logarithms
CLAMP = "clamp"  # cut off at one end or two, as arithmetic
ELEMENTWISE = "elementwise"  # a function of each number by itself: exp, sqrt, sin, abs
FLAT = "flat"  # steps, whose derivative is zero wherever there is one
CHOICE = "choice"  # one of two values, element by element
NORM = "norm"  # a normalisation, in evaluation

# What gathers.
MAX_POOL = "max_pool"  # the largest of each window
AVERAGE_POOL = "average_pool"  # the mean of each window
REDUCTION = "reduction"  # a whole axis to one number, by a mean or a moment
EXTREME = "extreme"  # the largest or smallest along an axis, or (`max(a, b)`) of two values
CUMULATION = "cumulation"  # running sums along an axis

# What moves values and computes nothing new, or weighs neighbours by their places alone.
RESAMPLING = "resampling"  # another grid of pixels: interpolation, pixels to channels, patches
SPECTRUM = "spectrum"  # Fourier transforms, and what makes complex values of real ones or back
RESHAPE = "reshape"  # the same numbers in the same order, other axes
PERMUTE = "permute"  # the axes in another order
CUT = "cut"  # a part along an axis, or all parts
JOIN = "join"  # values beside or into one another
PAD = "pad"  # a margin of numbers, or of mirrored pixels
ROLL = "roll"  # round in a circle along an axis
REORDER = "reorder"  # by place or by size: sort, gather, flip
COPY = "copy"  # the same number several times
IDENTITY = "identity"  # unchanged, in other memory or precision

ALL = {value for name, value in dict(globals()).items() if name.isupper() and isinstance(value, str)}
ACTIVATIONS = (RECTIFIER, SMOOTH)  # the kinds that policies act on
