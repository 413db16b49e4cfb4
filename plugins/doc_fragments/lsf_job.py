# SPDX-License-Identifier: GPL-3.0-or-later
"""The option `job` of modules that have a command run as an LSF job (module_utils/lsf/command_job.py)."""


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  job:
    type: dict
    suboptions:
      name:
        description: Name of the job; an empty one is the module's.
        type: str
        default: ''
      queue:
        description: Queue; empty means LSF's default.
        type: str
        default: ''
      project:
        description: Project to charge.
        type: str
        default: ''
      walltime:
        description: Limit on its run time, as C(bsub -W) takes it.
        type: str
        default: ''
      profile:
        description: File to source for the commands of LSF.
        type: str
        default: ''
"""
