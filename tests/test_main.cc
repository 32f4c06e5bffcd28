// main() of every test program. doctest's own summary is turned into the project's closing line by
// scripts/test.sh.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
