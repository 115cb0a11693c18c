include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(version_header SOURCES ${CMAKE_CURRENT_LIST_DIR}/version_header.c LINKS magnum_api)
