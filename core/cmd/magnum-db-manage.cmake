magnum_add_program(magnum-db-manage SOURCES ${CMAKE_CURRENT_LIST_DIR}/magnum-db-manage.c
  LINKS magnum_db magnum_config magnum_base)
