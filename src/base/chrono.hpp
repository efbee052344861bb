// SPDX-License-Identifier: Apache-2.0
#pragma once

// Durations, time points and clocks of <chrono>. The whole of that header, with its calendars and
// formatting, is a third of what a compiler and clang-tidy read in most sources here; libstdc++
// keeps this part in a header of its own.
#if __has_include(<bits/chrono.h>)
#include <bits/chrono.h>
#else
#include <chrono>
#endif
