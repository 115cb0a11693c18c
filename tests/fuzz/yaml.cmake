include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(yaml SOURCES ${CMAKE_CURRENT_LIST_DIR}/yaml.c LINKS magnum_config)
