include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(pyliteral SOURCES ${CMAKE_CURRENT_LIST_DIR}/pyliteral.c LINKS magnum_api)
