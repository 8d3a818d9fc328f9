"""``scalmarl compare``: a grid of algorithms, kappas and seeds as real launches."""
