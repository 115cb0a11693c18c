magnum_add_program(bench_hello_http NO_INSTALL SOURCES ${CMAKE_CURRENT_LIST_DIR}/hello_http.c
  LINKS PkgConfig::mhd)
