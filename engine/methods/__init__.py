"""What can be asked: attribution methods as declarations.

A method is one row of `table`: a gate for the way back, a place, a reading. A reading is `(primal, cotangent) ->
map`, a plain function that TorchScript takes as it is. A new CAM variant is one reading and one row;
`trust.certificate` states its formula anew.
"""

from .places import Place as Place
from .readings import minus_shift as minus_shift
from .readings import weighted as weighted
from .table import FINISHES as FINISHES
from .table import METHODS as METHODS
from .table import NO_GATE as NO_GATE
from .table import PATHS as PATHS
from .table import PROBE as PROBE
from .table import Method as Method
from .table import choose_methods as choose_methods
from .table import gates_at_image as gates_at_image
from .table import gates_of as gates_of
from .table import with_factors as with_factors
