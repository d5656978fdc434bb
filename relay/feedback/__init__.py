"""The way back: reply addresses, and the answers that offices send to them."""
