# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of conda's own library that Slipway asks for."""
