"""What the store holds about one person, by an address: found, handed out, erased."""
