"""The version of this client; a wheel of it carries the same."""

VERSION = "0.1.0"
