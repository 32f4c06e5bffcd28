// stb_image's implementation, with the formats that mpq reads and nothing else.
#define STB_IMAGE_IMPLEMENTATION
#include "apps/stb_image.h"
