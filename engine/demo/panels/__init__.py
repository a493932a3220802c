"""What can be asked below the picture: one row for each panel; the page takes up a new one by itself."""

from .compare import COMPARE
from .computed import COMPUTED
from .erase import ERASE
from .localise import LOCALISE
from .panel import Panel
from .trust import TRUST
from .units import UNITS

_ALL = (TRUST, COMPARE, UNITS, ERASE, LOCALISE, COMPUTED)
PANELS: dict[str, Panel] = {panel.name: panel for panel in _ALL}
