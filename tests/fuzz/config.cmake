include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(config SOURCES ${CMAKE_CURRENT_LIST_DIR}/config.c LINKS magnum_config)
