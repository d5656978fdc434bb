"""The daemon and its commands: `run.py` serves, `run.py --help` names the rest."""

from relay.cli.main import main

if __name__ == "__main__":
    main()
