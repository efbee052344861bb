// SPDX-License-Identifier: Apache-2.0
#include "base/memory.hpp"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace egw {
namespace {

// Segments that are never written hold no relocations and equal the file: the first object of the
// list is the program itself.
int unmap_constant_segments(dl_phdr_info* program, std::size_t /*size*/, void* /*unused*/) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  for (int i = 0; i < program->dlpi_phnum; ++i) {
    const auto& segment = program->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const auto begin = (program->dlpi_addr + segment.p_vaddr + page - 1) / page * page;
    const auto end = (program->dlpi_addr + segment.p_vaddr + segment.p_filesz) / page * page;
    // Best effort: it saves memory and changes nothing else.
    if (begin < end) {
      // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader tells addresses as numbers
      static_cast<void>(madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED));
    }
  }
  return 1;
}

} // namespace

void share_heap() {
  mallopt(M_ARENA_MAX, 1);
  // Fixed: by itself glibc raises both with the largest block that was ever freed.
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

void release_memory() {
  malloc_trim(0);
  dl_iterate_phdr(unmap_constant_segments, nullptr);
}

} // namespace egw
