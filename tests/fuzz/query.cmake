include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
magnum_add_fuzzer(query
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/query.c ${CMAKE_CURRENT_LIST_DIR}/body_api.c LINKS magnum_api)
