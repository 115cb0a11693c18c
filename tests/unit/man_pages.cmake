add_test(NAME unit/man_pages COMMAND python3 -B ${CMAKE_SOURCE_DIR}/tools/man-pages
         --check --build ${CMAKE_BINARY_DIR})
set_tests_properties(unit/man_pages PROPERTIES LABELS unit TIMEOUT 120)
