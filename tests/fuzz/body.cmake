include(${CMAKE_CURRENT_LIST_DIR}/../support/fuzz.cmake)
# One target per resource; nodegroups have a shorter way than the clusters they belong to.
set(beginning_clusters clusters)
set(beginning_nodegroups clusters/*/nodegroups)
set(beginning_templates clustertemplates)
set(beginning_certificates certificates)
set(beginning_quotas quotas)
set(beginning_federations federations)
foreach(resource IN ITEMS clusters nodegroups templates certificates quotas federations)
  magnum_add_fuzzer(body_${resource}
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/body.c ${CMAKE_CURRENT_LIST_DIR}/body_api.c
    LINKS magnum_api)
  if(MAGNUM_FUZZ)
    target_compile_definitions(fuzz_body_${resource} PRIVATE
      FUZZ_RESOURCE="${beginning_${resource}}")
  endif()
endforeach()
