include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(elf_exports SOURCES ${CMAKE_CURRENT_LIST_DIR}/elf_exports.c LINKS magnum_host_wire)
