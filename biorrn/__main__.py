"""`python -m biorrn` is `biorrn`."""

from biorrn.cli.main import main

if __name__ == "__main__":
    main()
