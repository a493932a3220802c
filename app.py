"""The demo, as `python app.py` and Spaces start it; `python app.py --help` tells the options."""

from engine.demo.app import Parts, build, launch, lay_out, main, wire, write_examples

__all__ = ["Parts", "build", "launch", "lay_out", "main", "wire", "write_examples"]

if __name__ == "__main__":
    main()
