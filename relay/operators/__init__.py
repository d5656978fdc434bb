"""An installation's people: who they are, what they may, what they order and what they are told."""
