#define KERNEL joint_plain
#include "lanes_plain.h"
#include "joint_tile.h"
