include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(json_patch SOURCES ${CMAKE_CURRENT_LIST_DIR}/json_patch.c LINKS magnum_api)
