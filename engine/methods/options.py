"""What an option of a method of many passes may be; TorchScript takes it as it is."""


def refused(name: str, value: float, default: float) -> str:
    """Why an option can't have a value, or nothing where it can.

    What is a whole number where nothing is said counts something, and is one always; it may be zero where its
    default is, which leaves it open.
    """
    least = 1.0 if default >= 1 else 0.0
    if not value >= least or value > 1e6:
        return f"{name} is {value}: it lies between {int(least)} and 1000000"
    if default == float(int(default)) and value != float(int(value)):
        return f"{name} is {value}: it is a whole number"
    if name == "keep" and (value == 0 or value > 1):
        return f"keep is {value}: it is a chance, above 0 and at most 1"
    return ""
