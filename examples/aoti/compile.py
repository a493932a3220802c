"""Compile a .pt2 of ConvLens for this processor, with torch alone: python compile.py NET.pt2 OUT.pt2 [METHOD]

METHOD is one of a package's methods; a file that answers one question needs none.
"""

import sys

from torch._inductor import aoti_compile_and_package
from torch.export.pt2_archive._package import load_pt2

if not 3 <= len(sys.argv) <= 4:
    sys.exit(__doc__.strip())
programs = load_pt2(sys.argv[1]).exported_programs
method = sys.argv[3] if len(sys.argv) > 3 else next(iter(programs))
if method not in programs:
    sys.exit(f"{sys.argv[1]} has no program {method}, it has {', '.join(programs)}")

(image, seed), _ = programs[method].example_inputs
sides = dict(zip(("channels", "height", "width"), image.shape[1:], strict=True))
told = {name: str(number) for name, number in (sides | {"classes": seed.shape[1]}).items()}
aoti_compile_and_package(
    programs[method], package_path=sys.argv[2], inductor_configs={"aot_inductor.metadata": told}
)
