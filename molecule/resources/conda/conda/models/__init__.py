"""The part of conda's own library that Slipway asks for."""
