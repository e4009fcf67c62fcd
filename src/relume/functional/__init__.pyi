from relume.functional.activations import *  # noqa: F403
from relume.functional.crelu import *  # noqa: F403
from relume.functional.gated import *  # noqa: F403
from relume.functional.maxout import *  # noqa: F403
from relume.functional.prelu import *  # noqa: F403
from relume.functional.rrelu import *  # noqa: F403
from relume.functional.softmax import *  # noqa: F403
