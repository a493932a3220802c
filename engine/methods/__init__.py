"""What can be asked: attribution methods as declarations.

A method is one row of `table`: a policy for the way back, a place, a reading. A reading is `(primal, cotangent) ->
map`, a plain function that TorchScript takes as it is. A new CAM variant is one reading and one row;
`trust.certificate` states its formula anew.
"""

from .method import NO_POLICY as NO_POLICY
from .method import PROBE as PROBE
from .method import Method as Method
from .places import Place as Place
from .readings import minus_shift as minus_shift
from .readings import weighted as weighted
from .table import ASKS as ASKS
from .table import FINISHES as FINISHES
from .table import METHODS as METHODS
from .table import PATHS as PATHS
from .table import choose_methods as choose_methods
from .table import one_pass_methods as one_pass_methods
from .table import policies_at_image as policies_at_image
from .table import policies_of as policies_of
from .table import policies_of_calls as policies_of_calls
from .table import with_factors as with_factors
