// stb_image with the settings that its users and its implementation must share.
#ifndef MPQ_APPS_STB_IMAGE_H_
#define MPQ_APPS_STB_IMAGE_H_

#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_ONLY_PNM
#define STBI_NO_STDIO

#include <stb/stb_image.h>

#endif  // MPQ_APPS_STB_IMAGE_H_
