include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(manifest SOURCES ${CMAKE_CURRENT_LIST_DIR}/manifest.c LINKS magnum_drivers)
