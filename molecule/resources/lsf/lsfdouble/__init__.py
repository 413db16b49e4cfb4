# SPDX-License-Identifier: GPL-3.0-or-later
"""A double of IBM Spectrum LSF 10: the words, the timing and the processes, without the licence. See README.md."""
