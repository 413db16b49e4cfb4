"""What needs many runs of the playbook is left to this machine's own architecture (`make test-all`)."""

import os

collect_ignore = [] if os.environ["MINITRITON_ARCH"] == "amd64" else ["test_session_native.py"]
