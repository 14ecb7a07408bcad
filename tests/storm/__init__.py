"""Does a storm of faults end with the same rows as an undisturbed run?"""
