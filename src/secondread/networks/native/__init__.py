"""C++ that is compiled on the machine it runs on: where, for which processors, kept how, and whether it pays.

Code that is compiled here is a `build.Code`: a name, its forms (`forms`), and what makes functions of a
library. Its sources include the headers of this folder: memory (`arena.h`), vectors of any length in the
compilers' own types (`vectors.h`), products whose sums stay in registers (`product.h`), and channels in
groups as their columns (`groups.h`), into which `grouped` brings weights.
"""
