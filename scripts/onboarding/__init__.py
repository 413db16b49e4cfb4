# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts/onboard is made of."""
