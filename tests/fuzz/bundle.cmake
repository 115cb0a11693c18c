include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(bundle SOURCES ${CMAKE_CURRENT_LIST_DIR}/bundle.c LINKS magnum_drivers)
