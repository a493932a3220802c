"""The refusals: every error that a caller may meet says what is wrong, where, and the way out."""


class CaptureError(ValueError):
    """The network cannot be compiled as it is; the message says why and what to do."""


class CompileError(ValueError):
    """The network has a step that cannot be differentiated exactly; every such step is named."""


class ArtifactError(ValueError):
    """A file that is not an artifact of this project, or not of this version of it."""


class WeightsError(RuntimeError):
    """Weights that can't be had or don't fit; the text says which file, why, and the way out."""


class PhotoError(ValueError):
    """A photo that can't be read; the text is meant for the person who brought it."""


class ProgramError(AssertionError):
    """The listing breaks a rule that every listing keeps; a defect of the compiler, not of the network."""
