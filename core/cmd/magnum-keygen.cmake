magnum_add_program(magnum-keygen SOURCES ${CMAKE_CURRENT_LIST_DIR}/magnum-keygen.c
  LINKS magnum_rpc magnum_certs magnum_base)
