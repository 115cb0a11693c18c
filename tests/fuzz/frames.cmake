include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(frames SOURCES ${CMAKE_CURRENT_LIST_DIR}/frames.c LINKS magnum_host_wire)
