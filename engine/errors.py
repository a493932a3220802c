"""The refusals: every error that a caller may meet says what is wrong, where, and the way out."""


class Told(Exception):  # noqa: N818 - what its kinds have in common, never raised by itself
    """A refusal that can be told in another language: its sentence, with names in braces for `fields`."""

    def __init__(self, text: str, /, **fields: object) -> None:
        super().__init__(text.format(**fields) if fields else text)
        self.text, self.fields = text, fields


class CaptureError(ValueError):
    """The network cannot be compiled as it is; the message says why and what to do."""


class CompileError(ValueError):
    """The network has a step that cannot be differentiated exactly; every such step is named."""


class ArtifactError(ValueError):
    """A file that is not an artifact of this project, or not of this version of it."""


class WeightsError(Told, RuntimeError):
    """Weights that can't be had or don't fit; the text says which file, why, and the way out."""


class PhotoError(Told, ValueError):
    """A photo that can't be read; the text is meant for the person who brought it."""


class ProgramError(AssertionError):
    """The listing breaks a rule that every listing keeps; a defect of the compiler, not of the network."""
